// Package api is the description of the administrative REST API, in the form
// that tools read.
package api

import _ "embed" // the description is a file beside this one

// OpenAPI describes every route, parameter, document and error of the API
// (OpenAPI 3.0, YAML). A node serves it at GET /v1/openapi.yaml.
//
//go:embed openapi.yaml
var OpenAPI []byte
