package screen

// Entries returns how much is kept of a room.
func (m *Model) Entries(room string) int { return m.find(room).Len() }
