// Calls Alibaba Cloud with its official JavaScript SDKs, as tests/sdks asks: a line of JSON in, a line of JSON out.
"use strict";

const readline = require("node:readline");
const { default: Credential, Config: CredentialConfig } = require("@alicloud/credentials");
const openapi = require("@alicloud/openapi-client");
const { RuntimeOptions } = require("@alicloud/tea-util");
const sts = require("@alicloud/sts20150401");
const { $OpenApiUtil } = require("@alicloud/openapi-core");

function credentialOf(asked) {
  const given = asked.credential;
  return new Credential(
    new CredentialConfig({
      type: given.type,
      accessKeyId: given.access_key_id,
      accessKeySecret: given.access_key_secret,
      securityToken: given.security_token,
      roleArn: given.role_arn,
      roleSessionName: given.role_session_name,
      externalId: given.external_id,
      oidcProviderArn: given.oidc_provider_arn,
      oidcTokenFilePath: given.oidc_token,
      stsEndpoint: given.sts_endpoint,
      roleName: given.role_name,
      disableIMDSv1: given.disable_imds_v1,
    }),
  );
}

// No SDK of ACR is published for JavaScript: the client that all generated SDKs are made on is asked by itself.
async function general(asked, action, version, more) {
  const client = new openapi.default(
    new openapi.Config({ credential: credentialOf(asked), endpoint: asked.endpoint }),
  );
  const params = new openapi.Params({ action, version, protocol: "HTTPS", authType: "AK", bodyType: "json", ...more });
  const request = new openapi.OpenApiRequest({ query: asked.parameters });
  return (await client.callApi(params, request, new RuntimeOptions({}))).body;
}

const rpc = { pathname: "/", method: "POST", style: "RPC", reqBodyType: "formData" };
const roa = { pathname: "/tokens", method: "GET", style: "ROA", reqBodyType: "json" };

function modelOf(Model, parameters) {
  const model = new Model({});
  for (const [field, name] of Object.entries(Model.names())) {
    model[field] = parameters[name];
  }
  return model;
}

const calls = {
  token: (asked) => general(asked, "GetAuthorizationToken", "2018-12-01", rpc),
  endpoints: (asked) => general(asked, "ListInstanceEndpoint", "2018-12-01", rpc),
  "personal-token": (asked) => general(asked, "GetAuthorizationToken", "2016-06-07", roa),
  "assume-role": async (asked) => {
    const config = new $OpenApiUtil.Config({ credential: credentialOf(asked), endpoint: asked.endpoint });
    const answer = await new sts.default(config).assumeRole(modelOf(sts.AssumeRoleRequest, asked.parameters));
    return answer.body.toMap();
  },
  "assume-role-with-oidc": async (asked) => {
    const client = new sts.default(new $OpenApiUtil.Config({ endpoint: asked.endpoint }));
    const answer = await client.assumeRoleWithOIDC(modelOf(sts.AssumeRoleWithOIDCRequest, asked.parameters));
    return answer.body.toMap();
  },
  credential: async (asked) => {
    const found = await credentialOf(asked).getCredential();
    return {
      AccessKeyId: found.accessKeyId,
      AccessKeySecret: found.accessKeySecret,
      SecurityToken: found.securityToken,
    };
  },
};

async function answer(line) {
  const asked = JSON.parse(line);
  if (!(asked.do in calls)) {
    return { broken: `no such call: ${asked.do}` };
  }
  try {
    return { result: await calls[asked.do](asked) };
  } catch (error) {
    return {
      error: {
        text: String(error.message),
        code: error.code,
        message: String(error.message),
        retry_after: error.retryAfter,
        denied: error.accessDeniedDetail,
      },
    };
  }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await answer(line)) + "\n");
  }
  process.exit(0);
}

main();
