import com.nimbusds.jose.*;
import com.nimbusds.jose.crypto.Ed25519Verifier;
import com.nimbusds.jose.jwk.*;
import com.nimbusds.jose.jwk.source.*;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.*;
import com.nimbusds.jwt.proc.*;
import jakarta.servlet.*;
import jakarta.servlet.http.*;
import java.io.IOException;
import java.net.URL;
import java.text.ParseException;
import java.util.*;
import java.util.stream.*;

/**
 * A site behind a queue: admissions are checked here, without asking Onsale, whose public keys are fetched once and kept for a day.
 * Needs com.nimbusds:nimbus-jose-jwt and com.google.crypto.tink:tink. Init parameters: server, queue; if wanted page, issuer,
 * session_s (how long somebody may stay), on_error (open: everybody passes while the keys cannot be had; closed: nobody). It
 * cannot know that somebody was blocked, or is done, before session_s are over; a gate that asks does (docs/guides/gate.md).
 */
public class AdmissionFilter extends HttpFilter {
    private static final String PARAMETER = "onsale_admission";
    private static final JOSEObjectType ADMISSION = new JOSEObjectType("admission+jwt");
    private static final int DAY_MS = 24 * 3600 * 1000, TIMEOUT_MS = 3000, LEEWAY_S = 30; // this machine's clock may be off
    private JWKSource<SecurityContext> keys;
    private String queue, page, issuer, cookie;
    private int sessionS;
    private boolean open;

    @Override
    public void init() throws ServletException {
        String server = getInitParameter("server");
        queue = getInitParameter("queue");
        page = Objects.requireNonNullElse(getInitParameter("page"), server + "/q/" + queue);
        issuer = Objects.requireNonNullElse(getInitParameter("issuer"), "onsale");
        sessionS = Integer.parseInt(Objects.requireNonNullElse(getInitParameter("session_s"), "900"));
        open = "open".equals(getInitParameter("on_error"));
        cookie = "__Host-onsale-admission-" + queue;
        try {
            keys = JWKSourceBuilder.create(new URL(server + "/.well-known/jwks.json")).cache(DAY_MS, TIMEOUT_MS).build();
        } catch (IOException e) { throw new ServletException(e); }
    }

    private JWK key(String kid) throws KeySourceException {
        keys.get(new JWKSelector(new JWKMatcher.Builder().build()), null); // fails while there are none
        try {
            return keys.get(new JWKSelector(new JWKMatcher.Builder().keyID(kid).build()), null).stream().findFirst().orElse(null);
        } catch (RateLimitReachedException e) {
            return null; // who makes up names of keys does not have Onsale asked all the time
        }
    }

    /** Whether a token is an admission to this queue, or was one at most so many seconds ago. */
    private boolean isGood(String token, int agoS) throws KeySourceException {
        try {
            SignedJWT jwt = SignedJWT.parse(token);
            var header = jwt.getHeader();
            if (!ADMISSION.equals(header.getType()) || !JWSAlgorithm.EdDSA.equals(header.getAlgorithm())) return false;
            JWK key = key(header.getKeyID());
            if (key == null || !jwt.verify(new Ed25519Verifier(key.toOctetKeyPair()))) return false;
            var expected = new JWTClaimsSet.Builder().issuer(issuer).build();
            var claims = new DefaultJWTClaimsVerifier<>(queue, expected, Set.of("sub", "jti", "exp"));
            claims.setMaxClockSkew(LEEWAY_S + agoS);
            claims.verify(jwt.getJWTClaimsSet(), null);
            return true;
        } catch (KeySourceException e) { throw e;
        } catch (ParseException | JOSEException | BadJWTException | IllegalArgumentException e) {
            return false;
        }
    }

    @Override
    protected void doFilter(HttpServletRequest request, HttpServletResponse response, FilterChain chain) throws IOException, ServletException {
        var pairs = Stream.of(Objects.requireNonNullElse(request.getQueryString(), "").split("&")).filter(pair -> !pair.isEmpty());
        var marked = pairs.collect(Collectors.partitioningBy(pair -> pair.startsWith(PARAMETER + "=")));
        List<String> given = marked.get(true).stream().map(pair -> pair.substring(PARAMETER.length() + 1)).toList();
        String others = String.join("&", marked.get(false));
        // Always on this site: two slashes would be another one.
        String clean = "/" + request.getRequestURI().replaceFirst("^[/\\\\]+", "") + (others.isEmpty() ? "" : "?" + others);
        String held = Stream.of(Objects.requireNonNullElse(request.getCookies(), new Cookie[0]))
            .filter(one -> one.getName().equals(cookie)).map(Cookie::getValue).findFirst().orElse(null);
        try {
            boolean isGiven = given.size() == 1 && isGood(given.get(0), 0);
            String attributes = "; Path=/; Max-Age=" + sessionS + "; HttpOnly; Secure; SameSite=Lax";
            if (isGiven) response.addHeader("Set-Cookie", cookie + "=" + given.get(0) + attributes);
            boolean passes = isGiven || held != null && isGood(held, sessionS);
            if (passes && given.isEmpty()) chain.doFilter(request, response);
            else send(response, passes ? clean : page);
        } catch (KeySourceException e) {
            if (open) chain.doFilter(request, response); else response.setStatus(503);
        }
    }

    private static void send(HttpServletResponse response, String location) {
        Map.of("Cache-Control", "private, no-store", "Referrer-Policy", "no-referrer").forEach(response::setHeader);
        response.setHeader("Location", location);
        response.setStatus(302); // sendRedirect would make the location absolute, as the container believes to be called
    }
}
