package team.rules

default sure(_) := true # refused: default functions are not supported by the embedded engine

sure(x) := false if x == 1
