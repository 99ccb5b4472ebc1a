package kubeapi

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
	"github.com/rollcall-dev/rollcall/comp/workloadmeta/collectors/kubernetes/internal/object"
)

// Resource is what is followed: all objects of a kind, or some of them. Without a version it is
// followed in the one that the server prefers.
type Resource struct {
	workloadmeta.GroupVersionResource
	// Fields selects objects by fields, such as "spec.nodeName=node-1".
	Fields string
	// Metadata says that nothing but metadata is wanted.
	Metadata bool
}

// Name returns the resource as in rules of access, such as "deployments.apps".
func Name(r workloadmeta.GroupVersionResource) string {
	if r.Group == "" {
		return r.Resource
	}
	return r.Resource + "." + r.Group
}

// NodeName returns the name of the node: the one that is given, else that of the first of the usual
// variables that is set; "" if none is. Of a name that no node can have nothing would ever be
// found.
func NodeName(given string) (string, error) {
	name := cmp.Or(given, os.Getenv("NODE_NAME"), os.Getenv("KUBE_NODE_NAME"),
		os.Getenv("K8S_NODE_NAME"))
	if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" {
		return "", fmt.Errorf("%q is no name of a node", name)
	}
	return name, nil
}

func (r Resource) path() string {
	return versionPath(r.Group, r.Version) + "/" + url.PathEscape(r.Resource)
}

func versionPath(group, version string) string {
	if group == "" {
		return "/api/" + url.PathEscape(version)
	}
	return "/apis/" + url.PathEscape(group) + "/" + url.PathEscape(version)
}

// maxDiscovery bounds an answer about what the server serves.
const maxDiscovery = 4 << 20

// Version returns the version in which the server serves a resource: the one that it prefers for
// the group, unless only others have the resource. The error is absent if none has it. Groups are
// asked one by one: a broken server behind the API server hides its own group only.
func (c *Client) Version(ctx context.Context, group, resource string) (string, error) {
	versions := []string{"v1"} // of the core
	if group != "" {
		var answer struct {
			PreferredVersion struct{ Version string }
			Versions         []struct{ Version string }
		}
		if err := c.json(ctx, "/apis/"+url.PathEscape(group), &answer); err != nil {
			return "", err
		}
		versions = []string{answer.PreferredVersion.Version}
		for _, v := range answer.Versions {
			if !slices.Contains(versions, v.Version) {
				versions = append(versions, v.Version)
			}
		}
	}
	for _, version := range versions {
		var answer struct{ Resources []struct{ Name string } }
		if err := c.json(ctx, versionPath(group, version), &answer); err != nil {
			return "", err
		}
		for _, r := range answer.Resources {
			if r.Name == resource {
				return version, nil
			}
		}
	}
	missing := &StatusError{Status: object.Status{Code: http.StatusNotFound,
		Message: "it serves no " + Name(workloadmeta.GroupVersionResource{Group: group,
			Resource: resource})}}
	return "", fmt.Errorf("API server %s: %w", c.base.Host, missing.withCause())
}

func (c *Client) json(ctx context.Context, path string, to any) error {
	response, err := c.get(ctx, path, nil, jsonType)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDiscovery)).Decode(to); err != nil {
		return fmt.Errorf("API server %s: %s: %w", c.base.Host, path, err)
	}
	return nil
}
