// Calls Alibaba Cloud with its official Go SDKs, as tests/sdks asks: a line of JSON in, a line of JSON out.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	personalapi "github.com/alibabacloud-go/darabonba-openapi/client"
	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"

	personal "github.com/alibabacloud-go/cr-20160607/client"
	cr "github.com/alibabacloud-go/cr-20181201/v2/client"
	sts "github.com/alibabacloud-go/sts-20150401/v2/client"
	personalutil "github.com/alibabacloud-go/tea-utils/service"
	"github.com/alibabacloud-go/tea/tea"
	"github.com/aliyun/credentials-go/credentials"
)

type request struct {
	Do         string              `json:"do"`
	Endpoint   string              `json:"endpoint"`
	Credential *credentials.Config `json:"credential"`
	Parameters json.RawMessage     `json:"parameters"`
}

func (asked *request) config() (*openapi.Config, error) {
	credential, err := credentials.NewCredential(asked.Credential)
	return &openapi.Config{Credential: credential, Endpoint: &asked.Endpoint}, err
}

func token(asked *request) (any, error) {
	config, err := asked.config()
	if err != nil {
		return nil, err
	}
	client, err := cr.NewClient(config)
	if err != nil {
		return nil, err
	}
	parameters := &cr.GetAuthorizationTokenRequest{}
	if err := json.Unmarshal(asked.Parameters, parameters); err != nil {
		return nil, err
	}
	response, err := client.GetAuthorizationToken(parameters)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func endpoints(asked *request) (any, error) {
	config, err := asked.config()
	if err != nil {
		return nil, err
	}
	client, err := cr.NewClient(config)
	if err != nil {
		return nil, err
	}
	parameters := &cr.ListInstanceEndpointRequest{}
	if err := json.Unmarshal(asked.Parameters, parameters); err != nil {
		return nil, err
	}
	response, err := client.ListInstanceEndpoint(parameters)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

// The SDK's own GetAuthorizationToken throws the body away ("BodyType: none"), so its client is asked for JSON instead.
func personalToken(asked *request) (any, error) {
	credential, err := credentials.NewCredential(asked.Credential)
	if err != nil {
		return nil, err
	}
	client, err := personal.NewClient(&personalapi.Config{Credential: credential, Endpoint: &asked.Endpoint})
	if err != nil {
		return nil, err
	}
	if _, err = client.GetAuthorizationToken(); err != nil {
		return nil, err
	}
	response, err := client.CallApi(&personalapi.Params{
		Action:      tea.String("GetAuthorizationToken"),
		Version:     tea.String("2016-06-07"),
		Protocol:    tea.String("HTTPS"),
		Pathname:    tea.String("/tokens"),
		Method:      tea.String("GET"),
		AuthType:    tea.String("AK"),
		Style:       tea.String("ROA"),
		ReqBodyType: tea.String("json"),
		BodyType:    tea.String("json"),
	}, &personalapi.OpenApiRequest{}, &personalutil.RuntimeOptions{})
	if err != nil {
		return nil, err
	}
	return response["body"], nil
}

func assumeRole(asked *request) (any, error) {
	config, err := asked.config()
	if err != nil {
		return nil, err
	}
	client, err := sts.NewClient(config)
	if err != nil {
		return nil, err
	}
	parameters := &sts.AssumeRoleRequest{}
	if err := json.Unmarshal(asked.Parameters, parameters); err != nil {
		return nil, err
	}
	response, err := client.AssumeRole(parameters)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func assumeRoleWithOIDC(asked *request) (any, error) {
	client, err := sts.NewClient(&openapi.Config{Endpoint: &asked.Endpoint})
	if err != nil {
		return nil, err
	}
	parameters := &sts.AssumeRoleWithOIDCRequest{}
	if err := json.Unmarshal(asked.Parameters, parameters); err != nil {
		return nil, err
	}
	response, err := client.AssumeRoleWithOIDC(parameters)
	if err != nil {
		return nil, err
	}
	return response.Body, nil
}

func credential(asked *request) (any, error) {
	found, err := credentials.NewCredential(asked.Credential)
	if err != nil {
		return nil, err
	}
	model, err := found.GetCredential()
	if err != nil {
		return nil, err
	}
	return map[string]*string{
		"AccessKeyId":     model.AccessKeyId,
		"AccessKeySecret": model.AccessKeySecret,
		"SecurityToken":   model.SecurityToken,
	}, nil
}

var calls = map[string]func(*request) (any, error){
	"token":                 token,
	"endpoints":             endpoints,
	"personal-token":        personalToken,
	"assume-role":           assumeRole,
	"assume-role-with-oidc": assumeRoleWithOIDC,
	"credential":            credential,
}

func answer(line []byte) map[string]any {
	asked := &request{}
	if err := json.Unmarshal(line, asked); err != nil {
		return map[string]any{"broken": err.Error()}
	}
	call, known := calls[asked.Do]
	if !known {
		return map[string]any{"broken": "no such call: " + asked.Do}
	}
	result, err := call(asked)
	if err == nil {
		return map[string]any{"result": result}
	}
	told := map[string]any{"text": err.Error()}
	var refused *tea.SDKError
	if errors.As(err, &refused) {
		told["code"] = tea.StringValue(refused.Code)
		told["message"] = tea.StringValue(refused.Message)
		told["denied"] = refused.AccessDeniedDetail
	}
	return map[string]any{"error": told}
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
