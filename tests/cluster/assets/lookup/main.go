// Command lookup does what a kubelet does before it pulls an image: it reads a
// CredentialProviderConfig, runs the plugin, judges its answer, and says which logins it would try.
//
// Usage: lookup CONFIG BIN_DIR IMAGE...
//
// It prints one JSON line per image, {"image": ..., "logins": [{"username": ..., "password": ...}]};
// the kubelet's own log goes to stderr. Whatever would stop a kubelet at start ends it with 1.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

type login struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

type found struct {
	Image  string  `json:"image"`
	Logins []login `json:"logins"`
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: lookup CONFIG BIN_DIR IMAGE...")
		os.Exit(2)
	}
	if err := register(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "Failed to register CRI auth plugins:", err)
		os.Exit(1)
	}
	out := json.NewEncoder(os.Stdout)
	for _, image := range os.Args[3:] {
		if err := out.Encode(found{image, lookup(image)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
