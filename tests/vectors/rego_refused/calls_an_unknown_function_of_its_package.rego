package team.rules

allow if data.team.rules.nosuch(1) # refused: function data.team.rules.nosuch is not defined | reference to data.team.rules.nosuch, which does not exist
