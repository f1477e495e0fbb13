"""What goes wrong: kills, full disks, sieges."""
