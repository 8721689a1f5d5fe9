import java.io.FileInputStream;
import java.io.PrintStream;
import org.HdrHistogram.EncodableHistogram;
import org.HdrHistogram.Histogram;
import org.HdrHistogram.HistogramLogReader;
import org.HdrHistogram.HistogramLogWriter;

/** Reads a log with HdrHistogram itself, says what is in it, and writes it again. */
public final class Relog {
  public static void main(String[] args) throws Exception {
    HistogramLogReader reader = new HistogramLogReader(new FileInputStream(args[0]));
    HistogramLogWriter writer = new HistogramLogWriter(new PrintStream(args[1]));
    writer.outputLogFormatVersion();
    writer.outputLegend();
    for (EncodableHistogram next; (next = reader.nextIntervalHistogram()) != null; ) {
      Histogram histogram = (Histogram) next;
      System.out.printf(
          "{\"tag\":\"%s\",\"count\":%d,\"max\":%d,\"p50\":%d,\"p99\":%d}%n",
          histogram.getTag(), histogram.getTotalCount(), histogram.getMaxValue(),
          histogram.getValueAtPercentile(50), histogram.getValueAtPercentile(99));
      writer.outputIntervalHistogram(histogram);
    }
    writer.close();
  }
}
