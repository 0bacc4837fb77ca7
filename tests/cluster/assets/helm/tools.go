//go:build tools

// Package helm keeps the requirement of Helm's own program.
package helm

import _ "helm.sh/helm/v4/cmd/helm"
