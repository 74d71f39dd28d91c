package admin_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/concord-id/concord/broker/admin/client"
	"github.com/concord-id/concord/docs/api"
)

// description is docs/api/openapi.yaml, valid, and a router of it.
var description = sync.OnceValues(func() (*openapi3.T, error) {
	loader := openapi3.NewLoader()
	doc, err := loader.LoadFromData(api.OpenAPI)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(loader.Context)
})

func described(t testing.TB) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := description()
	if err != nil {
		t.Fatal(err)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// wrongHeader marks a request that is meant not to fit the description. Its
// answer must fit all the same.
const wrongHeader = "Test-Wrong"

var checking = &openapi3filter.Options{
	IncludeResponseStatus: true, RejectWhenRequestBodyNotSpecified: true, SkipSettingDefaults: true,
}

// checked holds every request and answer against the description.
func checked(t testing.TB, next http.Handler) http.Handler {
	_, router := described(t)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		isWrong := r.Header.Get(wrongHeader) != ""
		in := &openapi3filter.RequestValidationInput{Request: r, Options: checking}
		var err error
		in.Route, in.PathParams, err = router.FindRoute(r)
		for name, value := range in.PathParams {
			in.PathParams[name], _ = url.PathUnescape(value) // the router leaves what is escaped as it is
		}
		if err == nil && !isWrong {
			err = openapi3filter.ValidateRequest(r.Context(), in)
		}
		if err != nil && !isWrong {
			t.Errorf("%s %s does not fit the description: %v", r.Method, r.URL, err)
		}
		copied := &copying{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(copied, r)
		if in.Route != nil && w.Header().Get("Content-Type") != client.StreamType {
			copied.check(t, in)
		}
	})
}

// copying keeps what is answered.
type copying struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

// Unwrap lets http.ResponseController find the connection.
func (c *copying) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (c *copying) WriteHeader(status int) {
	c.status = status
	c.ResponseWriter.WriteHeader(status)
}

func (c *copying) Write(p []byte) (int, error) {
	c.body.Write(p)
	return c.ResponseWriter.Write(p)
}

func (c *copying) check(t testing.TB, in *openapi3filter.RequestValidationInput) {
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: c.status, Header: c.Header(), Options: checking,
		Body: io.NopCloser(bytes.NewReader(c.body.Bytes())),
	}
	if err := openapi3filter.ValidateResponse(in.Request.Context(), out); err != nil {
		t.Errorf("the answer to %s %s does not fit the description: %d %.500s: %v", in.Request.Method, in.Request.URL, c.status, c.body.Bytes(), err)
	}
	if c.status >= 400 && !strings.HasPrefix(c.Header().Get("Content-Type"), "application/json") {
		t.Errorf("an error of %s %s is %s", in.Request.Method, in.Request.URL, c.Header().Get("Content-Type"))
	}
}
