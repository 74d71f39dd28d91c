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
	taken := n.config
	taken.LogLevel = config.LogLevel
	if !reflect.DeepEqual(taken, config) {
		n.log.Warn("some settings of the configuration need a restart of this node", "taken", "log-level")
	}
	// Said before the new level may hide it.
	n.log.Info("the configuration was read again", "log_level", config.LogLevel)
	if level, err := parseLevel(config.LogLevel); err == nil {
		n.level.Set(level)
	}
}
