package team.rules

allow if time.now_ns() == 0 # refused: function time.now_ns is not allowed
