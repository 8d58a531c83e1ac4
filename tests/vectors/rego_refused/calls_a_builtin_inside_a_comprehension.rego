package team.rules

found := {x |
	some x in [1, 2]
	rand.intn("a", 2) == x # refused: function rand.intn is not allowed
}
