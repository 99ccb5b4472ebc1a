package extract

import "strings"

// The attributes of OTEL_RESOURCE_ATTRIBUTES that make tags, and the rule of each.
// The names are from OpenTelemetry's semantic conventions; deployment.environment is
// the name the environment had before it became deployment.environment.name.
var otelAttributes = [...]keyRule{
	{"service.name", ruleOTelAttributeService},
	{"service.version", ruleOTelAttributeVersion},
	{"deployment.environment", ruleOTelAttributeEnv},
	{"deployment.environment.name", ruleOTelAttributeEnvName},
}

// otel adds the standard tags of OpenTelemetry's environment variables.
func otel(b *builder, env map[string]string) {
	if attributes := env["OTEL_RESOURCE_ATTRIBUTES"]; attributes != "" {
		resourceAttributes(attributes, func(key, value string) {
			for i := range otelAttributes {
				if otelAttributes[i].key == key {
					b.add(otelAttributes[i].rule, value)
				}
			}
		})
	}
	b.add(ruleOTelServiceName, env["OTEL_SERVICE_NAME"])
}

// resourceAttributes calls yield for each "key=value" of a list separated by commas.
// Blanks around keys and values do not count; a piece without "=" is skipped. Values
// are not percent-decoded.
func resourceAttributes(list string, yield func(key, value string)) {
	for pair := range strings.SplitSeq(list, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			yield(strings.TrimSpace(key), strings.TrimSpace(value))
		}
	}
}
