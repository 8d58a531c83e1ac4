# METADATA
# title: What the caller's token grants
# schemas:
#   - input: schema.input
package scopegate.lib.scopes

# True when the token covers action:resource:identifier, by name or by `*`.
holds(action, resource, identifier) if {
	some held in {concat(":", [action, resource, identifier]), concat(":", [action, resource, "*"])}
	held in input.agent.scopes
}
