package team.rules

allow { # refused: `if` keyword is required before rule body
	true
}
