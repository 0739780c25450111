import jakarta.servlet.http.*;
import java.io.File;
import java.io.IOException;
import org.apache.catalina.startup.Tomcat;
import org.apache.tomcat.util.descriptor.web.FilterDef;
import org.apache.tomcat.util.descriptor.web.FilterMap;

/** A shop in Tomcat behind examples/admission/AdmissionFilter.java. */
public class Site {
    public static void main(String[] arguments) throws Exception {
        Tomcat tomcat = new Tomcat();
        tomcat.setBaseDir(arguments[0]);
        tomcat.setHostname("127.0.0.1");
        tomcat.setPort(Integer.parseInt(System.getenv("PORT")));
        tomcat.getConnector().setProperty("address", "127.0.0.1");
        var context = tomcat.addContext("", new File(arguments[0]).getAbsolutePath());
        FilterDef filter = new FilterDef();
        filter.setFilterName("admission");
        filter.setFilterClass("AdmissionFilter");
        filter.addInitParameter("server", System.getenv("ONSALE"));
        filter.addInitParameter("queue", System.getenv("ONSALE_QUEUE"));
        filter.addInitParameter("on_error", System.getenv("ON_ERROR"));
        context.addFilterDef(filter);
        FilterMap everything = new FilterMap();
        everything.setFilterName("admission");
        everything.addURLPattern("/*");
        context.addFilterMap(everything);
        Tomcat.addServlet(context, "shop", new HttpServlet() {
            @Override
            protected void service(HttpServletRequest request, HttpServletResponse response) throws IOException {
                String query = request.getQueryString() == null ? "" : "?" + request.getQueryString();
                response.setContentType("application/json");
                response.getWriter().print("{\"shop\": true, \"path\": \"" + request.getRequestURI() + query + "\"}");
            }
        });
        context.addServletMappingDecoded("/*", "shop");
        tomcat.start();
        tomcat.getServer().await();
    }
}
