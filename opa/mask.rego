# METADATA
# title: What the decision log leaves out
package system.log

mask contains "/input"
