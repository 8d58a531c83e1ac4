package team.rules

allow if net.cidr_contains("10.0.0.0/8", "::ffff:10.0.0.1") # refused: function net.cidr_contains is not allowed
