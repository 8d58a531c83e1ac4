package team.rules

contributions contains {"reason": rand.intn("a", 2)} if { # refused: function rand.intn is not allowed
	true
}
