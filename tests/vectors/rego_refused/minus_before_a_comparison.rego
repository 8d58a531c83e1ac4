package team.rules

allow if -input.now == 3 # refused: minus before an expression binds differently in the engines, write 0 - (...)
