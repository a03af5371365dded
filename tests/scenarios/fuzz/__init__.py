"""Bad files, bad command lines and odd answers of Azure, generated from a seed, and a judge of what drkit makes of them."""
