// Command authfiles judges container auth files by the code of those who read them: the kubelet, docker
// and containers/image (podman, buildah, skopeo, CRI-O).
//
// It reads JSON objects from stdin, {"file": BASE64, "type": SECRET_TYPE, "images": [NAME, ...],
// "readers": [NAME, ...], "server": TEXT}, and writes one line for each: what each of the readers (kubelet, docker,
// podman) finds for each of the images, or that it refuses the file; and the host that docker makes of the server.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/cli/cli/config"
	"github.com/docker/cli/cli/config/credentials"
	"go.podman.io/image/v5/docker/reference"
	podman "go.podman.io/image/v5/pkg/docker/config"
	"go.podman.io/image/v5/types"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/kubernetes/pkg/credentialprovider"
	"k8s.io/kubernetes/pkg/credentialprovider/secrets"
)

type question struct {
	File    []byte   `json:"file"`
	Type    string   `json:"type"`
	Images  []string `json:"images"`
	Readers []string `json:"readers"`
	Server  string   `json:"server"`
}

type login [2]string

// verdict holds logins by image. An absent image has no login; Refused is why the file as a whole is not read.
type verdict struct {
	Refused string             `json:"refused,omitempty"`
	Logins  map[string][]login `json:"logins,omitempty"`
}

type answer struct {
	Verdicts map[string]verdict `json:"verdicts"`
	Host     string             `json:"host"`
}

var keys = map[corev1.SecretType]string{
	corev1.SecretTypeDockerConfigJson: corev1.DockerConfigJsonKey,
	corev1.SecretTypeDockercfg:        corev1.DockerConfigKey,
}

func askKubelet(asked question) verdict {
	kind := corev1.SecretType(asked.Type)
	secret := corev1.Secret{Type: kind, Data: map[string][]byte{keys[kind]: asked.File}}
	keyring, err := secrets.MakeDockerKeyring([]corev1.Secret{secret}, &credentialprovider.BasicDockerKeyring{})
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	found := map[string][]login{}
	for _, image := range asked.Images {
		configs, _ := keyring.Lookup(image)
		for _, each := range configs {
			found[image] = append(found[image], login{each.Username, each.Password})
		}
	}
	return verdict{Logins: found}
}

func askDocker(asked question) verdict {
	file, err := config.LoadFromReader(strings.NewReader(string(asked.File)))
	if err != nil {
		return verdict{Refused: err.Error()}
	}
	found := map[string][]login{}
	for _, image := range asked.Images {
		host, _, _ := strings.Cut(image, "/")
		each, err := file.GetAuthConfig(host)
		if err == nil && (each.Username != "" || each.Password != "") {
			found[image] = []login{{each.Username, each.Password}}
		}
	}
	return verdict{Logins: found}
}

func askPodman(asked question, folder string) verdict {
	file, noRegistries := filepath.Join(folder, "auth.json"), filepath.Join(folder, "registries.conf")
	context := &types.SystemContext{
		SystemRegistriesConfPath: noRegistries, SystemRegistriesConfDirPath: filepath.Join(folder, "none"),
	}
	if asked.Type == string(corev1.SecretTypeDockercfg) {
		context.LegacyFormatAuthFilePath = file
	} else {
		context.AuthFilePath = file
	}
	for path, content := range map[string][]byte{file: asked.File, noRegistries: nil} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return verdict{Refused: err.Error()}
		}
	}
	found := map[string][]login{}
	for _, image := range asked.Images {
		name, err := reference.ParseNamed(image)
		if err != nil {
			continue
		}
		each, err := podman.GetCredentialsForRef(context, name)
		if err != nil {
			return verdict{Refused: err.Error()}
		}
		if each.Username != "" || each.Password != "" {
			found[image] = []login{{each.Username, each.Password}}
		}
	}
	return verdict{Logins: found}
}

func run() error {
	folder, err := os.MkdirTemp("", "authfiles")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	// No file of this machine's may answer in place of the one that is asked about.
	for _, name := range []string{"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "DOCKER_CONFIG"} {
		if err := os.Setenv(name, filepath.Join(folder, "none")); err != nil {
			return err
		}
	}
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	for in.More() {
		var asked question
		if err := in.Decode(&asked); err != nil {
			return err
		}
		verdicts := map[string]verdict{}
		for _, reader := range asked.Readers {
			switch reader {
			case "kubelet":
				verdicts[reader] = askKubelet(asked)
			case "docker":
				verdicts[reader] = askDocker(asked)
			case "podman":
				verdicts[reader] = askPodman(asked, folder)
			default:
				return fmt.Errorf("there is no reader %s", reader)
			}
		}
		if err := out.Encode(answer{verdicts, credentials.ConvertToHostname(asked.Server)}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
