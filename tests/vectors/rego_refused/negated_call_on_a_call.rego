package team.rules

allow if {
	path := input.request.path
	not startswith(trim_space(path), "/admin") # refused: not over a value that may be undefined: give it a name with := first
}
