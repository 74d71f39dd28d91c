package node

import "reflect"

// Reload takes what can change while the node runs from a configuration that
// was read again, and says what cannot. A configuration that could not be read
// changes nothing.
func (n *Node) Reload(config Config, err error) {
	if err != nil {
		n.log.Error("the configuration was not taken: it is as before", "error", err)
		return
	}
	level, err := parseLevel(config.LogLevel)
	if err != nil {
		level = n.level.Level()
	}
	// What is said of it here is hidden neither by the level before nor by the new one.
	n.level.Set(min(n.level.Level(), level))
	taken := n.config
	taken.LogLevel = config.LogLevel
	if !reflect.DeepEqual(taken, config) {
		n.log.Warn("some settings of the configuration need a restart of this node", "taken", "log-level")
	}
	n.log.Info("the configuration was read again", "log_level", config.LogLevel)
	n.level.Set(level)
}
