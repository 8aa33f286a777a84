// The lesson's service, without a library: the database makes the key unique. With --naive=true the service looks for the key itself, and then books.
package subject;
import java.math.BigDecimal;
import java.util.List;
import java.util.Map;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.dao.DuplicateKeyException;
import org.springframework.http.HttpStatus;
import org.springframework.http.ResponseEntity;
import org.springframework.jdbc.core.simple.JdbcClient;
import org.springframework.web.bind.annotation.*;

@SpringBootApplication @RestController
public class App {
    public record Payment(String src, String dest, BigDecimal amount) {}
    private static final ResponseEntity<Void> REPEAT = ResponseEntity.status(HttpStatus.ALREADY_REPORTED).build();
    private final JdbcClient database;
    private final boolean naive;
    App(JdbcClient database, @Value("${naive:false}") boolean naive) {
        this.database = database;
        this.naive = naive;
        database.sql("create table payment (id identity, idempotence_key varchar(255) " + (naive ? "" : "unique")
            + ", src varchar(255), dest varchar(255), amount decimal(18, 2))").update();
    }
    @PostMapping({"/payments", "/payments/"})
    ResponseEntity<Void> pay(@RequestHeader("Payment-Idempotence-Key") String key, @RequestBody Payment payment) throws InterruptedException {
        if (naive && database.sql("select count(*) from payment where idempotence_key = ?").param(key).query(Long.class).single() > 0) {
            return REPEAT;
        }
        Thread.sleep(30);
        try {
            database.sql("insert into payment (idempotence_key, src, dest, amount) values (?, ?, ?, ?)")
                .params(key, payment.src, payment.dest, payment.amount).update();
        } catch (DuplicateKeyException repeat) {
            return REPEAT;
        }
        Thread.sleep(30);
        return ResponseEntity.ok().build();
    }
    @DeleteMapping({"/payments", "/payments/"})
    void clear() { database.sql("delete from payment").update(); }
    @GetMapping("/stats")
    BigDecimal total() { return database.sql("select coalesce(sum(amount), 0.0) from payment").query(BigDecimal.class).single(); }
    @GetMapping("/payments")
    Map<String, Object> payments(@RequestParam(defaultValue = "0") long after) {
        List<Map<String, Object>> page = database.sql(
            "select id as \"id\", src as \"src\", dest as \"dest\", amount as \"amount\" from payment where id > ? order by id limit 101")
            .param(after).query().listOfRows();
        return Map.of("data", page.stream().limit(100).toList(), "has_more", page.size() > 100);
    }
    public static void main(String[] arguments) { SpringApplication.run(App.class, arguments); }
}
