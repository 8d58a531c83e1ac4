# METADATA
# title: Transfers above the tenant's limit need an approval
# description: Limits stand in data.limits.transfer, by tenant.
# schemas:
#   - input: schema.input
package scopegate.rules.amounts

import data.scopegate.lib.numbers

contributions contains {"action": "allow", "reason": "amount_within_limit"} if {
	asked
	numbers.within(amount, 0, limit)
}

contributions contains {"action": "approval_needed", "reason": "amount_over_limit"} if {
	asked
	numbers.above(amount, limit)
	sound
}

contributions contains {"action": "deny", "reason": "amount_invalid"} if {
	asked
	not sound
}

asked if {
	input.tool.method == "tools/call"
	input.tool.name == "transfer"
}

# Without a limit nobody knows what is above it.
sound if {
	numbers.at_least(amount, 0)
	numbers.at_least(limit, 0)
}

amount := input.tool.arguments.amount

limit := object.get(data.limits.transfer.tenants, input.agent.tenant, data.limits.transfer.default)
