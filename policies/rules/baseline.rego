# METADATA
# title: What passed the scope floor may pass
# description: Without this rule only what another rule allows may pass.
# schemas:
#   - input: schema.input
package scopegate.rules.baseline

contributions contains {"action": "allow", "reason": "scope_covers"} if {
	input.request.access in {"read", "sensitive", "write"}
}
