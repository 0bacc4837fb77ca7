//go:build !kubelet_1_30

package main

import (
	"errors"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

var errNoPods = errors.New("there are no pods here, and so no ServiceAccounts")

func register(config, binDir string) error {
	return plugin.RegisterCredentialProviderPlugins(config, binDir,
		func(string, string, *authenticationv1.TokenRequest) (*authenticationv1.TokenRequest, error) {
			return nil, errNoPods
		},
		func(string, string) (*corev1.ServiceAccount, error) { return nil, errNoPods })
}

func lookup(image string) []login {
	logins := []login{}
	configs, _ := plugin.NewExternalCredentialProviderDockerKeyring("", "", "", "").Lookup(image)
	for _, config := range configs {
		logins = append(logins, login{config.Username, config.Password})
	}
	return logins
}
