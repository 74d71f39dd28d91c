package replica

// MaxHandshakes is how many callers may be proving who they are at once.
const MaxHandshakes = maxHandshakes
