// Command concord runs a node of a trust domain, and is how an operator speaks
// to one.
package main

func main() {}
