// The annotation, the aspect and the store in memory; the name of the header is in application.properties.
package subject;
import io.github.arun0009.idempotent.core.annotation.Idempotent;
import io.github.arun0009.idempotent.core.aspect.IdempotentAspect;
import io.github.arun0009.idempotent.core.persistence.InMemoryIdempotentStore;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.http.ResponseEntity;
import org.springframework.web.bind.annotation.*;

@SpringBootApplication @RestController
public class App {
    public record Entry(Integer id, String reference, long amount, String currency) {}
    private final List<Entry> ledger = new CopyOnWriteArrayList<>();
    @Bean
    static IdempotentAspect idempotentAspect() {
        return new IdempotentAspect(new InMemoryIdempotentStore());
    }
    @Idempotent
    @PostMapping("/payments")
    public ResponseEntity<Entry> pay(@RequestBody Entry payment) throws InterruptedException {
        Thread.sleep(30);
        Entry entry;
        synchronized (ledger) {
            entry = new Entry(ledger.size() + 1, payment.reference, payment.amount, payment.currency);
            ledger.add(entry);
        }
        Thread.sleep(30);
        return ResponseEntity.status(201).body(entry);
    }
    @GetMapping("/payments")
    public Map<String, Object> payments(@RequestParam(defaultValue = "0") int after) {
        return Map.of("data", ledger.stream().skip(after).limit(100).toList(), "has_more", ledger.size() > after + 100);
    }
    public static void main(String[] arguments) { SpringApplication.run(App.class, arguments); }
}
