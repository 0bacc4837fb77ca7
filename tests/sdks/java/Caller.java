import com.aliyun.credentials.Client;
import com.aliyun.credentials.models.CredentialModel;
import com.aliyun.cr20181201.models.GetAuthorizationTokenRequest;
import com.aliyun.cr20181201.models.ListInstanceEndpointRequest;
import com.aliyun.sts20150401.models.AssumeRoleRequest;
import com.aliyun.sts20150401.models.AssumeRoleWithOIDCRequest;
import com.aliyun.tea.TeaException;
import com.aliyun.tea.TeaModel;
import com.aliyun.teaopenapi.models.Config;
import com.aliyun.teaopenapi.models.OpenApiRequest;
import com.aliyun.teaopenapi.models.Params;
import com.aliyun.teautil.models.RuntimeOptions;
import com.google.gson.Gson;
import com.google.gson.JsonObject;
import java.io.BufferedReader;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.util.HashMap;
import java.util.Map;

/** Calls Alibaba Cloud with its official Java SDKs, as tests/sdks asks: a line of JSON in, a line of JSON out. */
public final class Caller {
    private static final Gson GSON = new Gson();

    private static String text(JsonObject object, String name) {
        return object.has(name) ? object.get(name).getAsString() : null;
    }

    private static Client credentialOf(JsonObject asked) {
        JsonObject given = asked.getAsJsonObject("credential");
        com.aliyun.credentials.models.Config config = new com.aliyun.credentials.models.Config()
                .setType(text(given, "type"))
                .setAccessKeyId(text(given, "access_key_id"))
                .setAccessKeySecret(text(given, "access_key_secret"))
                .setSecurityToken(text(given, "security_token"))
                .setRoleArn(text(given, "role_arn"))
                .setRoleSessionName(text(given, "role_session_name"))
                .setExternalId(text(given, "external_id"))
                .setOidcProviderArn(text(given, "oidc_provider_arn"))
                .setOidcTokenFilePath(text(given, "oidc_token"))
                .setRoleName(text(given, "role_name"));
        if (given.has("sts_endpoint")) {
            config.setSTSEndpoint(text(given, "sts_endpoint"));
        }
        if (given.has("disable_imds_v1")) {
            config.setDisableIMDSv1(given.get("disable_imds_v1").getAsBoolean());
        }
        return new Client(config);
    }

    private static Config config(JsonObject asked) {
        return new Config().setCredential(credentialOf(asked)).setEndpoint(text(asked, "endpoint"));
    }

    private static <T extends TeaModel> T parameters(JsonObject asked, T model) {
        Map<String, Object> values = new HashMap<>();
        asked.getAsJsonObject("parameters").entrySet().forEach(each -> values.put(
                each.getKey(),
                each.getValue().getAsJsonPrimitive().isNumber() ? each.getValue().getAsLong() : each.getValue().getAsString()));
        return TeaModel.build(values, model);
    }

    /** Maven Central has no SDK of the Personal Edition: the client that SDKs are made on is asked by itself. */
    private static Object personalToken(JsonObject asked) throws Exception {
        Params params = new Params()
                .setAction("GetAuthorizationToken")
                .setVersion("2016-06-07")
                .setProtocol("HTTPS")
                .setPathname("/tokens")
                .setMethod("GET")
                .setAuthType("AK")
                .setStyle("ROA")
                .setReqBodyType("json")
                .setBodyType("json");
        return new com.aliyun.teaopenapi.Client(config(asked))
                .callApi(params, new OpenApiRequest(), new RuntimeOptions())
                .get("body");
    }

    private static Object call(JsonObject asked) throws Exception {
        switch (asked.get("do").getAsString()) {
            case "token":
                return new com.aliyun.cr20181201.Client(config(asked))
                        .getAuthorizationToken(parameters(asked, new GetAuthorizationTokenRequest()))
                        .getBody()
                        .toMap();
            case "endpoints":
                return new com.aliyun.cr20181201.Client(config(asked))
                        .listInstanceEndpoint(parameters(asked, new ListInstanceEndpointRequest()))
                        .getBody()
                        .toMap();
            case "personal-token":
                return personalToken(asked);
            case "assume-role":
                return new com.aliyun.sts20150401.Client(config(asked))
                        .assumeRole(parameters(asked, new AssumeRoleRequest()))
                        .getBody()
                        .toMap();
            case "assume-role-with-oidc":
                return new com.aliyun.sts20150401.Client(new Config().setEndpoint(text(asked, "endpoint")))
                        .assumeRoleWithOIDC(parameters(asked, new AssumeRoleWithOIDCRequest()))
                        .getBody()
                        .toMap();
            case "credential":
                CredentialModel found = credentialOf(asked).getCredential();
                Map<String, String> pair = new HashMap<>();
                pair.put("AccessKeyId", found.getAccessKeyId());
                pair.put("AccessKeySecret", found.getAccessKeySecret());
                pair.put("SecurityToken", found.getSecurityToken());
                return pair;
            default:
                return null;
        }
    }

    private static Map<String, Object> answer(JsonObject asked) {
        try {
            Object result = call(asked);
            return result == null ? Map.of("broken", "no such call: " + asked.get("do")) : Map.of("result", result);
        } catch (Exception error) {
            Map<String, Object> told = new HashMap<>();
            told.put("text", String.valueOf(error.getMessage()));
            if (error instanceof TeaException) {
                TeaException refused = (TeaException) error;
                told.put("code", refused.getCode());
                told.put("message", String.valueOf(refused.getMessage()));
                told.put("denied", refused.getAccessDeniedDetail());
            }
            return Map.of("error", told);
        }
    }

    /** Make this machine trust the CA in the file, and no other: Java takes a key store, not PEM. */
    private static void trust(String file) throws Exception {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream pem = new FileInputStream(file)) {
            store.setCertificateEntry("sandbox", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        Path written = Files.createTempFile("sandbox-ca", ".p12");
        written.toFile().deleteOnExit();
        try (OutputStream out = Files.newOutputStream(written)) {
            store.store(out, "sandbox".toCharArray());
        }
        System.setProperty("javax.net.ssl.trustStore", written.toString());
        System.setProperty("javax.net.ssl.trustStorePassword", "sandbox");
    }

    public static void main(String[] arguments) throws Exception {
        trust(System.getenv("CA_FILE"));
        // The credentials library logs to the standard output, where only answers belong.
        PrintStream answers = new PrintStream(new FileOutputStream(FileDescriptor.out), true, StandardCharsets.UTF_8);
        System.setOut(System.err);
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            answers.println(GSON.toJson(answer(GSON.fromJson(line, JsonObject.class))));
        }
        System.exit(0);
    }
}
