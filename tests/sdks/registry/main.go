// Pulls an image with the clients that tests/sdks names: a line of JSON in, a line of JSON out.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	containerd "github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/docker/distribution"
	_ "github.com/docker/distribution/manifest/ocischema"
	_ "github.com/docker/distribution/manifest/schema2"
	"github.com/docker/distribution/registry/client"
	"github.com/docker/distribution/registry/client/auth"
	"github.com/docker/distribution/registry/client/auth/challenge"
	"github.com/docker/distribution/registry/client/transport"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/crane"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

type request struct {
	Do       string `json:"do"`
	Image    string `json:"image"`
	Username string `json:"username"`
	Password string `json:"password"`
}

// pulled returns the digest of the manifest; every blob of it was read, and has its digest.
type pull func(*request) (digest.Digest, error)

func byCrane(asked *request) (digest.Digest, error) {
	login := authn.FromConfig(authn.AuthConfig{Username: asked.Username, Password: asked.Password})
	image, err := crane.Pull(asked.Image, crane.WithAuth(login))
	if err != nil {
		return "", err
	}
	if err := validate.Image(image); err != nil {
		return "", err
	}
	found, err := image.Digest()
	return digest.Digest(found.String()), err
}

func byContainerd(asked *request) (digest.Digest, error) {
	login := func(string) (string, string, error) { return asked.Username, asked.Password, nil }
	authorizer := containerd.NewDockerAuthorizer(containerd.WithAuthCreds(login))
	hosts := containerd.ConfigureDefaultRegistries(containerd.WithAuthorizer(authorizer))
	resolver := containerd.NewResolver(containerd.ResolverOptions{Hosts: hosts})
	name, manifest, err := resolver.Resolve(context.Background(), asked.Image)
	if err != nil {
		return "", err
	}
	fetcher, err := resolver.Fetcher(context.Background(), name)
	if err != nil {
		return "", err
	}
	content, err := fetched(fetcher, manifest)
	if err != nil {
		return "", err
	}
	var parts ocispec.Manifest
	if err := json.Unmarshal(content, &parts); err != nil {
		return "", err
	}
	for _, each := range append(parts.Layers, parts.Config) {
		if _, err := fetched(fetcher, each); err != nil {
			return "", err
		}
	}
	if !images.IsManifestType(manifest.MediaType) {
		return "", fmt.Errorf("not a manifest: %s", manifest.MediaType)
	}
	return manifest.Digest, nil
}

func fetched(fetcher remotes.Fetcher, wanted ocispec.Descriptor) ([]byte, error) {
	reader, err := fetcher.Fetch(context.Background(), wanted)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	return verified(reader, wanted.Digest)
}

func verified(reader io.Reader, wanted digest.Digest) ([]byte, error) {
	content, err := io.ReadAll(reader)
	if err == nil && digest.FromBytes(content) != wanted {
		err = fmt.Errorf("other bytes than %s", wanted)
	}
	return content, err
}

type login struct{ asked *request }

func (one login) Basic(*url.URL) (string, string)          { return one.asked.Username, one.asked.Password }
func (one login) RefreshToken(*url.URL, string) string     { return "" }
func (one login) SetRefreshToken(*url.URL, string, string) {}

// The token client of the Docker Engine.
func byDocker(asked *request) (digest.Digest, error) {
	named, err := reference.ParseNormalizedNamed(asked.Image)
	if err != nil {
		return "", err
	}
	base := "https://" + reference.Domain(named)
	repositoryName, err := reference.WithName(reference.Path(named))
	if err != nil {
		return "", err
	}
	challenges := challenge.NewSimpleManager()
	answer, err := http.Get(base + "/v2/")
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	if err := challenges.AddResponse(answer); err != nil {
		return "", err
	}
	handler := auth.NewTokenHandler(http.DefaultTransport, login{asked}, repositoryName.Name(), "pull")
	authorized := transport.NewTransport(http.DefaultTransport, auth.NewAuthorizer(challenges, handler))
	repository, err := client.NewRepository(repositoryName, base, authorized)
	if err != nil {
		return "", err
	}
	manifests, err := repository.Manifests(context.Background())
	if err != nil {
		return "", err
	}
	var manifest distribution.Manifest
	if canonical, is := named.(reference.Canonical); is {
		manifest, err = manifests.Get(context.Background(), canonical.Digest())
	} else {
		tag := reference.TagNameOnly(named).(reference.Tagged).Tag()
		manifest, err = manifests.Get(context.Background(), "", distribution.WithTag(tag))
	}
	if err != nil {
		return "", err
	}
	for _, each := range manifest.References() {
		reader, err := repository.Blobs(context.Background()).Open(context.Background(), each.Digest)
		if err != nil {
			return "", err
		}
		_, err = verified(reader, each.Digest)
		reader.Close()
		if err != nil {
			return "", err
		}
	}
	_, content, err := manifest.Payload()
	return digest.FromBytes(content), err
}

var clients = map[string]pull{"crane": byCrane, "containerd": byContainerd, "docker": byDocker}

func answer(line []byte) map[string]any {
	asked := &request{}
	if err := json.Unmarshal(line, asked); err != nil {
		return map[string]any{"broken": err.Error()}
	}
	pulled, known := clients[asked.Do]
	if !known {
		return map[string]any{"broken": "no such client: " + asked.Do}
	}
	found, err := pulled(asked)
	if err != nil {
		return map[string]any{"error": map[string]any{"text": err.Error()}}
	}
	return map[string]any{"result": map[string]any{"digest": found}}
}

func main() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text, err := json.Marshal(answer(lines.Bytes()))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(string(text))
	}
}
