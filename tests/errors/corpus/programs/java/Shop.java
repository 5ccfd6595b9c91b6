package com.example.shop;

import io.sentry.Sentry;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.Socket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.stream.Collectors;

/** Runs each mistake in several ways and sends it with io.sentry; the tag `corpus` is its label. */
public final class Shop {
  static final int N = Integer.parseInt(System.getenv("ROUND"));

  interface Run { void run() throws Exception; }

  static void caught(String label, Run run) {
    Sentry.withScope(scope -> {
      scope.setTag("corpus", label);
      try {
        run.run();
      } catch (Throwable error) {
        Sentry.captureException(error);
        return;
      }
      throw new IllegalStateException(label + " did not fail");
    });
  }

  record Address(String city) {}
  record Order(int id, Address address, List<Integer> lines) {}

  static class OrderException extends RuntimeException {
    OrderException(String words, Throwable cause) { super(words, cause); }
  }

  static class Orders {
    final Map<Integer, Order> known = new HashMap<>();

    Order load(int id) {
      return Optional.ofNullable(known.get(id)).orElseThrow(() -> new OrderException("order " + id + " not found", null));
    }

    String city(Order order) { return order.address().city().toUpperCase(); }

    List<String> cities(List<Order> orders) {
      return orders.stream().map(this::city).collect(Collectors.toList());
    }

    String report(Map<String, Order> orders) {
      StringBuilder text = new StringBuilder();
      orders.forEach((name, order) -> text.append(name).append(city(order)));
      return text.toString();
    }

    int first(List<Integer> lines) { return lines.get(0); }

    int sumOfFirsts(List<Order> orders) {
      return orders.stream().mapToInt(order -> first(order.lines())).sum();
    }

    void charge(int id) {
      try {
        new Socket("127.0.0.1", 9).close();
      } catch (IOException error) {
        throw new OrderException("order " + id + " could not be charged", error);
      }
    }

    void readAnswer(int id, String body) {
      try {
        Integer.parseInt(body);
      } catch (NumberFormatException error) {
        throw new OrderException("the answer for " + id + " is no number", error);
      }
    }
  }

  static class Guard {
    static void require(boolean holds, String words) {
      if (!holds) {
        throw new IllegalArgumentException(words);
      }
    }
  }

  static int setQuantity(int n) { Guard.require(n < 100, "at most 99 pieces"); return n; }
  static String setCountry(String code) { Guard.require(code.length() == 2, "country " + code + " has not two letters"); return code; }

  static int depth(int n) { return 1 + depth(n + 1); }

  static String walk(int n, Order order) { return n == 0 ? order.address().city() : walkOn(n - 1, order); }
  static String walkOn(int n, Order order) { return walk(n, order); }

  static void removeWhileWalking(List<Integer> lines) {
    for (Integer line : lines) {
      lines.remove(line);
    }
  }

  static Object decode(Object value) { return (BigDecimal) value; }

  static Runnable task(Orders orders, Order order) {
    return new Runnable() {
      @Override public void run() { orders.city(order); }
    };
  }

  public static void main(String[] arguments) throws Exception {
    Sentry.init(options -> {
      options.setDsn(System.getenv("DSN"));
      options.setRelease(System.getenv("RELEASE"));
      if (N % 2 == 1) { options.addInAppInclude("com.example"); }
    });
    Orders orders = new Orders();
    Order bare = new Order(N, null, List.of());
    caught("java-city", () -> orders.city(bare));
    caught("java-city", () -> orders.cities(List.of(bare)));
    caught("java-city", () -> orders.report(Map.of("x" + N, bare)));
    caught("java-city", () -> task(orders, bare).run());
    ExecutorService pool = Executors.newFixedThreadPool(2);
    caught("java-city", () -> CompletableFuture.supplyAsync(() -> orders.city(bare), pool).join());
    caught("java-city", () -> CompletableFuture.supplyAsync(() -> orders.cities(List.of(bare)), pool).join());
    caught("java-not-found", () -> orders.load(1000 + N));
    caught("java-not-found", () -> List.of(7, 8).forEach(orders::load));
    caught("java-first", () -> orders.first(new ArrayList<>()));
    caught("java-first", () -> orders.sumOfFirsts(List.of(new Order(1, null, new ArrayList<>()))));
    caught("java-charge", () -> orders.charge(4000 + N));
    caught("java-charge", () -> List.of(N, 2).forEach(orders::charge));
    caught("java-answer", () -> orders.readAnswer(5000 + N, "<html>" + N));
    caught("java-guard-quantity", () -> setQuantity(100 + N));
    caught("java-guard-country", () -> setCountry("GER" + N));
    caught("java-overflow", () -> depth(0));
    caught("java-walk", () -> walk(2 + 3 * N, bare));
    caught("java-concurrent", () -> removeWhileWalking(new ArrayList<>(List.of(1, 2, 3, N + 4))));
    caught("java-cast", () -> decode("x" + N));
    caught("java-date", () -> LocalDate.parse(N + ".1.2026"));
    caught("java-file", () -> Files.readString(Path.of("/srv/invoices/" + UUID.randomUUID() + ".pdf")));
    caught("java-uuid", () -> UUID.fromString("order-" + N));
    caught("java-iterator", () -> { Iterator<Integer> none = new ArrayList<Integer>().iterator(); none.next(); });
    Sentry.withScope(scope -> { scope.setTag("corpus", "java-msg-slow"); Sentry.captureMessage("query took " + (900 + N * 17) + " ms"); });
    Sentry.withScope(scope -> { scope.setTag("corpus", "java-msg-pool"); Sentry.captureMessage("pool has " + N + " of " + (N + 8) + " connections"); });
    pool.shutdown();
    Sentry.close();
  }
}
