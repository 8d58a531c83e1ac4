# METADATA
# title: Who may ask this OPA, and what
# description: |
#   The one question of `engine: opa`, from who holds the token in the Secret. No policy can be put,
#   no data read. Without the Secret there is no token, and nobody may ask.
package system.authz

default allow := false

allow if {
	input.method == "POST"
	input.path == ["v1", "data", "scopegate", "ruling"]
	input.identity == token
}

# The kubelet's probes and the scraper.
allow if {
	input.method == "GET"
	input.path in {["health"], ["metrics"]}
}

token := opa.runtime().env.OPA_TOKEN
