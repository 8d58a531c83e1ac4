package team.rules

allow if rand.intn("a", 2) == 1 # refused: function rand.intn is not allowed
