package kubeapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// StatusError is what the server has against a request.
type StatusError struct {
	object.Status
	Retry time.Duration // how long it wants to be left alone; 0: it does not say
}

func (e *StatusError) Error() string {
	text := cmp.Or(e.Message, http.StatusText(int(e.Code)), "it does not say why")
	return fmt.Sprintf("%d: %s", e.Code, text)
}

// forgotten reports whether the server has no, or not yet, the version that it was asked for.
func (e *StatusError) forgotten() bool {
	return e.Code == http.StatusGone || e.tooNew()
}

// tooNew reports whether the server, one of several, has not come to the version yet.
func (e *StatusError) tooNew() bool {
	return slices.ContainsFunc(e.Details.Causes, func(c object.StatusCause) bool {
		return c.Reason == "ResourceVersionTooLarge"
	})
}

// cause returns the cause that a code stands for.
func (e *StatusError) cause() workloadmeta.Cause {
	switch e.Code {
	case http.StatusUnauthorized:
		return workloadmeta.CauseUnauthenticated
	case http.StatusForbidden:
		return workloadmeta.CauseForbidden
	case http.StatusNotFound:
		return workloadmeta.CauseAbsent
	case http.StatusNotAcceptable, http.StatusMethodNotAllowed:
		return workloadmeta.CauseUnsupported
	case http.StatusGatewayTimeout:
		return workloadmeta.CauseTimeout
	}
	return ""
}

// maxRefusal bounds what is read of an answer that is no success.
const maxRefusal = 64 << 10

// refusal reads an answer that is no success.
func refusal(response *http.Response) error {
	e := &StatusError{}
	data, err := io.ReadAll(io.LimitReader(response.Body, maxRefusal))
	if err == nil {
		var status *object.Status
		if status, err = decodeStatus(response.Header.Get("Content-Type"), data); err == nil {
			e.Status = *status
		}
	}
	if err != nil || e.Message == "" { // such as a proxy's own text
		e.Message = strings.TrimSpace(string(bytes.ToValidUTF8(data[:min(len(data), 256)], nil)))
	}
	e.Code = int32(response.StatusCode)
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil {
		e.Retry = time.Duration(seconds) * time.Second
	}
	return e.withCause()
}

// withCause returns the error with its cause, for status.
func (e *StatusError) withCause() error {
	e.Retry = max(e.Retry, time.Duration(e.Details.RetryAfterSeconds)*time.Second)
	out := &workloadmeta.Error{Cause: e.cause(), Err: e}
	if e.Code == http.StatusNotFound {
		out.Hint = "the cluster does not have it; it is looked for each minute"
	}
	return out
}

// explained gives an error of the connection its cause.
func explained(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &unknown) || errors.As(err, &name) || errors.As(err, &invalid) {
		return &workloadmeta.Error{Cause: workloadmeta.CauseUnverified, Err: err,
			Hint: "its certificate cannot be verified: set kubernetes_apiserver_ca_path"}
	}
	return err
}
