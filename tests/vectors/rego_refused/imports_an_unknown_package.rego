package team.rules

import data.team.nosuch # refused: import of data.team.nosuch, which does not exist

allow if true
