package team.rules

allow if strings.count("aaa", "aa") == 1 # refused: function strings.count is not allowed
