//go:build kubelet_1_30

package main

import (
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/plugin"
)

func register(config, binDir string) error {
	return plugin.RegisterCredentialProviderPlugins(config, binDir)
}

func lookup(image string) []login {
	logins := []login{}
	configs, _ := credentialprovider.NewDockerKeyring().Lookup(image)
	for _, config := range configs {
		logins = append(logins, login{config.Username, config.Password})
	}
	return logins
}
