// Package kubeapi asks a Kubernetes API server: it follows all objects of a resource for as long as
// somebody wants to know.
//
// A [Watch] tells of everything there is, then of every change, and goes on through the end of
// connections, versions that the server has forgotten, and refusals: a gap ends in exactly what the
// server has. A list is decoded object by object into the types of package object, while it
// arrives: neither its bytes nor its objects are ever held as a whole. Where the server can, it
// streams the list as events; else it is asked for pages.
//
// In steady state a Watch costs one request in five to ten minutes, and no list.
package kubeapi
