package team.rules

allow if {
	sure with input.request.access as "read" # refused: with belongs into tests
}

sure if input.request.access == "read"
