package extract

import (
	"net/url"
	"strings"
	"unicode/utf8"
)

// The attributes of OTEL_RESOURCE_ATTRIBUTES that make tags, and the rule of each.
// The names are from OpenTelemetry's semantic conventions.
var otelAttributes = [...]keyRule{
	{"service.name", ruleOTelAttributeService},
	{"service.version", ruleOTelAttributeVersion},
	{"deployment.environment", ruleOTelAttributeEnv},
	{"deployment.environment.name", ruleOTelAttributeEnvName},
}

// The last of these attributes is the name that the one before it has had since; with both
// the new name counts.
const (
	otelEnv     = len(otelAttributes) - 2
	otelEnvName = len(otelAttributes) - 1
)

// otel adds the standard tags of OpenTelemetry's environment variables.
func otel(b *builder, env map[string]string) {
	if attributes := env["OTEL_RESOURCE_ATTRIBUTES"]; attributes != "" {
		var values [len(otelAttributes)]string
		resourceAttributes(attributes, func(key, value string) {
			for i := range otelAttributes {
				if otelAttributes[i].key == key {
					values[i] = value // of one attribute given twice the last counts, as in SDKs
				}
			}
		})
		if values[otelEnvName] != "" {
			values[otelEnv] = ""
		}
		for i, value := range values {
			b.add(otelAttributes[i].rule, value)
		}
	}
	b.add(ruleOTelServiceName, env["OTEL_SERVICE_NAME"])
}

// resourceAttributes calls yield for each "key=value" of a list separated by commas.
// Blanks around keys and values do not count; a piece without "=" is skipped. Keys and values
// are percent-decoded, as OpenTelemetry specifies; what cannot be decoded stays as it is.
func resourceAttributes(list string, yield func(key, value string)) {
	for pair := range strings.SplitSeq(list, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			yield(percentDecoded(key), percentDecoded(value))
		}
	}
}

func percentDecoded(text string) string {
	text = strings.TrimSpace(text)
	if decoded, err := url.PathUnescape(text); err == nil && utf8.ValidString(decoded) {
		return decoded
	}
	return text
}
