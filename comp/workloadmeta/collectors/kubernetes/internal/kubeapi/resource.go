package kubeapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"slices"

	"github.com/rollcall-dev/rollcall/comp/workloadmeta"
)

// Resource is what is followed: all objects of a kind, or some of them.
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
	return "", &workloadmeta.Error{Cause: workloadmeta.CauseAbsent,
		Err: fmt.Errorf("API server %s serves no %s", c.base.Host,
			Name(workloadmeta.GroupVersionResource{Group: group, Resource: resource}))}
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
