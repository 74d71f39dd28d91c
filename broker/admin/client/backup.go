package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Download makes a GET whose answer is bytes, and writes them to w as they come.
// After an error what was written is not the whole.
func (c *Client) Download(ctx context.Context, path string, w io.Writer) error {
	answer, err := c.send(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	_, err = io.Copy(w, answer.Body)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the node's answer broke off: %w", err)
	}
	return err
}
