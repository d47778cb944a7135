package client

// Address is address.
var Address = address

// Waiting returns how many pushes wait for ch to be joined.
func Waiting(ch *Channel) int {
	ch.client.mu.Lock()
	defer ch.client.mu.Unlock()
	return len(ch.waiting)
}

// Channels returns how many channels are joined or want to be.
func Channels(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.channels)
}

// Queued returns how many frames wait for their turn on the connection.
func Queued(c *Client) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.conn.out)
}
