package proc

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
)

// Addresses returns the addresses of a process's network, sorted. What cannot be read is left out.
func (f FS) Addresses(pid int) (v4, v6 []netip.Addr) {
	routes, _ := f.Read(pid, "net/fib_trie")
	addresses, _ := f.Read(pid, "net/if_inet6")
	return ParseFibTrie(routes), ParseInet6(addresses)
}

// ParseFibTrie returns the machine's own addresses in a table of routes (/proc/net/fib_trie),
// sorted and without doubles and loopback addresses: the table has each several times, in an order
// that changes.
func ParseFibTrie(table []byte) []netip.Addr {
	var out []netip.Addr
	var address string
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		line := strings.TrimSpace(lines.Text())
		if leaf, ok := strings.CutPrefix(line, "|-- "); ok {
			address = leaf
			continue
		}
		if line == "/32 host LOCAL" {
			if a, err := netip.ParseAddr(address); err == nil && a.Is4() && !a.IsLoopback() &&
				!a.IsUnspecified() {
				out = append(out, a)
			}
		}
	}
	return sortAddresses(out)
}

// ParseInet6 returns the addresses of global scope in /proc/net/if_inet6, sorted.
func ParseInet6(table []byte) []netip.Addr {
	var out []netip.Addr
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		// Address, interface, length of the prefix, scope, flags, name.
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || fields[3] != "00" {
			continue
		}
		raw, err := hex.DecodeString(fields[0])
		if err != nil {
			continue
		}
		if a, ok := netip.AddrFromSlice(raw); ok && a.Is6() && !a.IsLoopback() {
			out = append(out, a)
		}
	}
	return sortAddresses(out)
}

func sortAddresses(in []netip.Addr) []netip.Addr {
	slices.SortFunc(in, netip.Addr.Compare)
	return slices.Compact(in)
}
