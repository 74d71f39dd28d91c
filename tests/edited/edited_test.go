package edited_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/concord-id/concord/tests/edited"
)

func TestAnEditThatDoesNotFitIsAnError(t *testing.T) {
	err := edited.Build(t.Context(), filepath.Join("..", ".."), filepath.Join(t.TempDir(), "concord"), edited.Edit{File: "go.mod", Old: "no such words"})
	if err == nil || !strings.Contains(err.Error(), "go.mod") {
		t.Errorf("got %v", err)
	}
}
