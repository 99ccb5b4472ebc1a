package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/rollcall-dev/rollcall/comp/rbac"
)

// objectName is what a Kubernetes object may be called: a part of it may be, too.
var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`)

func (a *app) rbacCommand() *cobra.Command {
	var name, bind string
	cmd := &cobra.Command{
		Use:   "rbac",
		Short: "Print the Kubernetes role that this configuration needs",
		Long: `Print the role that the collectors need with the configuration that is in effect,
as YAML for kubectl apply, or as JSON. Each rule says who needs it and why. Nothing is asked of a
cluster. A collector that is switched off needs nothing: --set collectors.kubelet=off.`,
		Example: `  rollcall rbac --bind rollcall/rollcall-node
  rollcall rbac --agent-type cluster --config cluster.yaml`,
		Args: args(0, 0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := a.loadConfig(cmd.Context())
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("name") {
				name = "rollcall-" + string(conf.AgentType)
			}
			if !objectName.MatchString(name) {
				return usagef("--name %q is no name of an object", name)
			}
			account := rbac.Account{}
			if cmd.Flags().Changed("bind") {
				var ok bool
				account.Namespace, account.Name, ok = strings.Cut(bind, "/")
				if !ok || !objectName.MatchString(account.Namespace) ||
					!objectName.MatchString(account.Name) {
					return usagef("--bind %q: want namespace/serviceaccount", bind)
				}
			}
			rules, err := rbac.Rules(a.collectors, conf)
			if err != nil {
				return err
			}
			if len(rules) == 0 {
				a.say("the collectors of an agent of type %s that are switched on ask nothing of "+
					"a cluster", conf.AgentType)
			}
			text := rbac.Manifest(name, rules, account)
			if a.output == "json" {
				return a.printList(text)
			}
			_, err = fmt.Fprint(a.out, text)
			return err
		},
	}
	cmd.Flags().StringVar(&name, "name", "", `name of the role (default "rollcall-<agent type>")`)
	cmd.Flags().StringVar(&bind, "bind", "",
		"write this service account, too, namespace/name, and give it the role")
	return cmd
}

// printList writes the objects of a manifest as one list, which kubectl takes.
func (a *app) printList(manifest string) error {
	items := []map[string]any{}
	for dec := yaml.NewDecoder(strings.NewReader(manifest)); ; {
		var item map[string]any
		err := dec.Decode(&item)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("write as JSON: %w", err)
		}
		items = append(items, item)
	}
	return a.print(struct {
		APIVersion string           `json:"apiVersion"`
		Kind       string           `json:"kind"`
		Items      []map[string]any `json:"items"`
	}{"v1", "List", items})
}
